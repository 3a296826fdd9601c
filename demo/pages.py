"""The pages of the report, in order. To add one: a script that leaves a dict `numbers`, and an entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parent.parent / "examples"


def left_behind(names: dict[str, Any]) -> dict[str, object]:
    """Return the numbers that a script says it measured."""
    return dict(names["numbers"])


def name_axes(figure: Any) -> None:
    """Label the figure of the published example, which does not do so itself."""
    (ax,) = figure.axes
    ax.set(xlabel="time (ms)", ylabel="firing rate")
    for line, label in zip(ax.get_lines(), ("excitatory E", "inhibitory I"), strict=True):
        line.set_label(label)
    ax.legend(frameon=False)
    figure.set_size_inches(8, 4)


def wilson_cowan(names: dict[str, Any]) -> dict[str, object]:
    """Measure the run of the published example, beside what PyRates 1.2.3 computes in float64."""
    frame = names["results"]
    return {
        "rows, columns": f"{frame.shape[0]}, {', '.join(frame.columns)}",
        "largest E": f"{frame['E'].max():.7f} at t = {frame['E'].idxmax():.2f} (PyRates: 0.2234944 at 35.08)",
        "E, I at t = 60": f"{frame['E'].iloc[6000]:.8f}, {frame['I'].iloc[6000]:.8f}"
        " (PyRates: 0.17490879, 0.13183317)",
        "E, I at the end": f"{frame['E'].iloc[-1]:.8f}, {frame['I'].iloc[-1]:.8f}"
        " (PyRates: -0.03290941, 0.01286169)",
    }


def leaky_integrator(names: dict[str, Any]) -> dict[str, object]:
    """Measure the run of the published example, beside what RectiPy 0.12.2 computes in float64."""
    out = names["obs"]["out"]
    return {
        "rows, units": f"{out.shape[0]:,}, {out.shape[1]}",
        "mean v after 1,000 steps": f"{out[1000].mean():.10f} (RectiPy: 1.3055615478)",
        "v of the first three units at the end": ", ".join(f"{v:.8f}" for v in out[-1, :3])
        + " (RectiPy: 0.71595308, -15.47252094, -24.60499246)",
    }


@dataclass(frozen=True)
class Page:
    """Say what one part of the report shows.

    Arguments:
        title: its heading.
        text: what it shows and how to read the figure.
        script: the file that is run; its source is shown as it is.
        captions: one for each figure the script makes.
        dress: changes a figure before it is saved, where a script is to stay as it is.
        measure: from the names the script leaves to the numbers that are shown.
        limits: what it does not show.
    """

    title: str
    text: str
    script: Path
    captions: tuple[str, ...] = ()
    measure: Callable[[dict[str, Any]], dict[str, object]] = left_behind
    dress: Callable[[Any], None] | None = None
    limits: str = ""


PAGES = [
    Page(
        title="A neural mass in ten lines",
        text="The introductory example of PyRates with one line changed, the import. A Wilson-Cowan "
        "pair of an excitatory and an inhibitory population gets a step of input from t = 25 to "
        "100.",
        script=EXAMPLES / "wilson_cowan.py",
        captions=("Firing rates of both populations; labels and legend were added for this report.",),
        measure=wilson_cowan,
        dress=name_axes,
    ),
    Page(
        title="The models in the library",
        text="Every template comes with its paper, and every circuit runs by itself. Twelve, each at its "
        "default parameters or with one constant input.",
        script=EXAMPLES / "gallery.py",
        captions=("One variable of each model over time, in the model's own unit of time.",),
    ),
    Page(
        title="Four hundred parameter sets at once",
        text="A sweep is one batched run, compiled once. Each pixel is a Wilson-Cowan pair with its "
        "own excitatory self-coupling and input; the colour is how much E still swings after the "
        "transient.",
        script=EXAMPLES / "sweep.py",
        captions=("Where the pair oscillates, and the run at the circle.",),
    ),
    Page(
        title="Where models rest and turn",
        text="The mean field of quadratic integrate-and-fire cells has two folds, between which it rests at two "
        "rates. The van der Pol oscillator has one cycle, which attracts. Both are found from the same templates "
        "that are simulated, as are the Lyapunov exponents of Lorenz's equations.",
        script=EXAMPLES / "bifurcations.py",
        captions=("Left: resting rates, dashed where unstable. Right: nullclines, the flow and the cycle.",),
    ),
    Page(
        title="Numbers one can trust",
        text="Two oscillators that pull each other after a delay settle on the frequency that theory says; solvers "
        "keep their order though the past begins with a jump. A noisy run is stopped twice and goes on to the bits of "
        "an undisturbed one, and a store does not answer for another measure.",
        script=EXAMPLES / "trust.py",
        captions=("Left: frequency over delay. Right: the error of a delayed signal over the step.",),
        limits="Delays are read in straight lines between steps, so Runge-Kutta of order 4 is of order 2 here.",
    ),
    Page(
        title="Spikes beside closed forms",
        text="An action potential of an axon is one spike, however long it stays above the threshold. A refractory "
        "time comes on top of the time that charging takes; a postsynaptic potential has one area at every step; and "
        "no conductance, however large, drives a potential beyond its reversal.",
        script=EXAMPLES / "spikes.py",
        captions=("Left: an axon and its spikes. Right: the lowest potential over the weight of a synapse.",),
    ),
    Page(
        title="A grasshopper's ear",
        text="A mean-field model is driven by a real sound and compared with the spikes of the "
        "auditory receptor that heard it. Parameters are chosen on the first five seconds; the "
        "last five are kept aside.",
        script=EXAMPLES / "grasshopper.py",
        captions=("One second of the half that was kept aside.",),
        limits="One cell and one presentation: without repeats nobody knows how well the best model "
        "could do. A correlation ignores scale, and the model's rate is scaled for the picture. That "
        "a population stands for the firing probability of one cell is an interpretation. A linear "
        "filter with eighty free numbers is the reference to compare with.",
    ),
    Page(
        title="A resting brain",
        text="A network of 28 noisy Hopf oscillators is coupled as the first half of a person's fMRI "
        "correlates, and its own correlations are compared with the second half.",
        script=EXAMPLES / "whole_brain.py",
        captions=(
            "Correlations measured, correlations of the model, their similarity at each coupling strength.",
        ),
        limits="The coupling comes from correlations, not from fibres, so the model is given much of "
        "what it should explain: it shows that the dynamics carry the pattern through, not why a "
        "brain has it. The first half by itself predicts the second half better than the model "
        "does, and one person is no sample.",
    ),
    Page(
        title="A network of leaky integrators",
        text="The introductory example of RectiPy: a hundred rate neurons with random weights and a constant input.",
        script=EXAMPLES / "leaky_integrator.py",
        captions=("The state of every neuron over time.",),
        measure=leaky_integrator,
    ),
    Page(
        title="Update rules in plain Python",
        text="The introductory example of PymoNNto: a behavior is a class whose `iteration` changes the arrays of its "
        "group. The source is compiled as it stands, compared with NumPy for a few steps, and then run by the engine.",
        script=EXAMPLES / "behaviors.py",
        captions=(
            "Second block: ten voltages, their mean and the threshold.",
            "Third block: the same with recurrent connections.",
            "The spikes of the third block.",
        ),
    ),
    Page(
        title="A reservoir names sequences",
        text="Spiking neurons hear three letters in one of six orders; a readout fitted in closed form names the "
        "order when the last letter is over.",
        script=EXAMPLES / "reservoir.py",
        captions=("Above: the spikes of one trial. Below: what was played and what was named.",),
        limits="The letters are made up and the noise is small; nothing here says how long the memory lasts.",
    ),
    Page(
        title="FORCE learning of a piece of EEG",
        text="The readout of a chaotic network is changed while it drives the network, until it hums a piece of a "
        "recorded EEG. Then learning stops.",
        script=EXAMPLES / "force.py",
        captions=("The readout while it learns, and by itself afterwards, on top of the recording.",),
        limits="The piece is smoothed to its first twelve harmonics and closed to a loop. How long the network stays "
        "on it was looked at for two rounds only.",
    ),
    Page(
        title="A memory trained through time",
        text="Two hundred rate neurons learn to keep a cue in mind for a delay of random length. All weights are "
        "trained by backpropagation through time.",
        script=EXAMPLES / "delayed_task.py",
        captions=("The loss over epochs, and the output in six new trials.",),
    ),
    Page(
        title="Spiking neurons trained by surrogate gradients",
        text="A recurrent network of leaky integrate-and-fire neurons learns to tell three patterns of input spikes "
        "apart, in spite of jitter and extra spikes.",
        script=EXAMPLES / "spiking_training.py",
        captions=("The loss over epochs, and the spikes of one new trial.",),
        limits="The patterns are made up, and no care was taken for plausible firing rates.",
    ),
    Page(
        title="The parameters of a neuron from its trace",
        text="The time constant and the gain of a neuron are found from its noisy output by gradients through time.",
        script=EXAMPLES / "fit_neuron.py",
        captions=("The trace, the neuron before the fit, and after it.",),
        limits="The trace comes from the same model, so the fit is possible in principle.",
    ),
    Page(
        title="Rates and spikes in one network",
        text="A reservoir of rate neurons drives a group of spiking neurons, which feed back to it one step later.",
        script=EXAMPLES / "two_nodes.py",
        captions=("Eight units of the reservoir, and the spikes of the group.",),
    ),
    Page(
        title="A thousand spiking neurons, no two alike",
        text="Izhikevich's network of 2003: 800 excitatory and 200 inhibitory neurons with random weights and noise. "
        "Waves of many spikes come by themselves.",
        script=EXAMPLES / "izhikevich_network.py",
        captions=("All spikes, spikes per millisecond, and the potential of one neuron.",),
        limits="Spikes arrive one step after they were fired; in the published script in the same step. One second is "
        "short for a statement about rhythms.",
    ),
    Page(
        title="Regular and irregular firing in a sparse network",
        text="Brunel's network of 2000 at three settings of inhibition and drive. Measured rates stand beside those of "
        "the paper's theory.",
        script=EXAMPLES / "brunel.py",
        captions=("Spikes of fifty neurons, and the rate of all, in three states.",),
        limits="1,500 neurons instead of 12,500, with fewer and stronger synapses: fluctuations are larger than in the "
        "paper, rates higher, and the boundaries between the states elsewhere.",
    ),
    Page(
        title="A synfire chain",
        text="A volley of spikes runs through ten groups of a hundred noisy neurons. A strong one arrives, a weak "
        "one widens and is lost among the others, a wide one is sharpened on the way (Diesmann, Gewaltig and Aertsen "
        "1999).",
        script=EXAMPLES / "synfire_chain.py",
        captions=("All spikes, for three volleys into the first group at 20 ms.",),
        limits="The noise is the diffusion approximation of the published one, and each volley is shown once: near the "
        "boundary some arrive and some do not.",
    ),
    Page(
        title="An associative memory",
        text="A Hopfield network recalls patterns from copies with a fifth of their pixels flipped, until too many are "
        "stored. The update rule is a behavior of fifteen lines.",
        script=EXAMPLES / "hopfield.py",
        captions=("Recall of three of ten patterns; overlap over time; overlap at the end against the load.",),
        limits="Five random sets at each load; with more units the breakdown is sharper.",
    ),
    Page(
        title="Plasticity that does not run away",
        text="Spike-timing-dependent plasticity, homeostasis of thresholds and normalisation of synapses in one noisy "
        "network, and the same network with each rule left out.",
        script=EXAMPLES / "plastic_network.py",
        captions=("Spikes at the beginning and the end, mean rates, and weights before and after.",),
        limits="Time constants of homeostasis and plasticity are much shorter than in the brain. In ten seconds the "
        "rate does not need the normalisation; what it changes are the sums of the weights.",
    ),
    Page(
        title="A network that learns to count",
        text="A self-organising recurrent network (Lazar, Pipa and Triesch 2009) hears two words in random order. To "
        "tell when the last letter comes, it must count the repeats of the one before.",
        script=EXAMPLES / "sorn.py",
        captions=("Activity at the end of learning, over time, and what a linear readout predicts.",),
        limits="Three networks of each kind. The static networks have random thresholds, which nobody tuned; the paper "
        "compares with tuned ones too.",
    ),
    Page(
        title="Handwritten digits without labels",
        text="Pixels become Poisson spikes, a hundred competing neurons learn from them by spike-timing-dependent "
        "plasticity (after Diehl and Cook 2015). Labels only name the neurons afterwards.",
        script=EXAMPLES / "digits.py",
        captions=("The weights of all neurons, sorted by the digit they answer to, and the share of right digits.",),
        limits="A small set of 8 x 8 pixels, one network, 297 test digits: the standard error is above two points. A "
        "linear classifier is better, and it uses the labels for more. Before learning the neurons have neither "
        "selective weights nor adapted thresholds, so that few of them answer; that reference is weak.",
    ),
    Page(
        title="Excitatory and inhibitory units learn, lose connections, and spike",
        text="Two hundred rate units, each with one sign and a time constant of its own, learn Go-NoGo one trial after "
        "the other (Kim, Li and Sejnowski 2019). Some connections are cut; and the network is turned into leaky "
        "integrate-and-fire neurons, whose weights are divided by one scaling factor, found by trying.",
        script=EXAMPLES / "dale_rnn.py",
        captions=(
            "Above: accuracy and loss while it learns, outputs in new trials, accuracy after lesions. Below: accuracy "
            "of the spiking network, and its spikes with its output (black) in a Go and a NoGo trial.",
        ),
        limits="One network, chosen because it converts well: after the same training others of ten seeds reached 0.78 "
        "to 1.00 as spiking networks. Each lesion was drawn once, and 20 trials at each factor are few.",
    ),
    Page(
        title="Thirty cognitive tasks",
        text="Tasks from the literature, from Go-NoGo to the twenty that one network of Yang et al. (2019) learned "
        "together. Each makes batches of trials, says where an answer counts, and judges answers.",
        script=EXAMPLES / "tasks.py",
        captions=(
            "One trial of ten tasks. Blue: inputs. Black: targets, faint where they do not count. Rings of inputs are "
            "pictures, one row for each direction.",
            "One trial of each of the twenty tasks of Yang et al.",
        ),
    ),
    Page(
        title="Coupled neurons, simulated, fitted, simulated again",
        text="Fifteen neurons excite and inhibit each other. A GLM is fitted to their spikes and finds the couplings; "
        "then the fitted neurons run by themselves.",
        script=EXAMPLES / "glm_recovery.py",
        captions=(
            "Couplings simulated and fitted, the rates of both simulations, and a test of the spike times.",
        ),
        limits="The spikes come from a GLM of the same form, so the fit is possible in principle; neurons that nobody "
        "recorded would show up as couplings between those that were.",
    ),
    Page(
        title="All of it in one network",
        text="A neural mass, spiking cells with a rule in Python, a rate network that has learned Go-NoGo and a fitted "
        "GLM are joined to one network and become one program. It is run, one of its weights is trained by gradients, "
        "a parameter of the mass is swept while the spikes of the GLM are counted, and it is saved and built again.",
        script=EXAMPLES / "mixed_network.py",
        captions=(
            "Above: the mass, the cells, and the rate network before and after the training. Below: the GLM, the loss, "
            "and the sweep.",
        ),
        limits="Nobody has measured such a network: weights between the parts are made up, so that one part can be "
        "seen in another. No gradient passes the spikes of cells and GLM.",
    ),
]
