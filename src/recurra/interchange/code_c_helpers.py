"""Functions of the equation language that C99 has not; a program gets those that it uses."""

from __future__ import annotations

_ONE = "const double *x, int n"

HELPERS = {
    "square": "static double f_square(double x) { return x * x; }",
    "sign": "static double f_sign(double x) { return x > 0 ? 1.0 : x < 0 ? -1.0 : x; }",
    "mod": (
        "static double f_mod(double a, double b) {\n    double r = fmod(a, b);\n"
        "    return r != 0 && (r < 0) != (b < 0) ? r + b : r;\n}"
    ),
    "maximum": "static double f_maximum(double a, double b) { return a > b || a != a ? a : b; }",
    "minimum": "static double f_minimum(double a, double b) { return a < b || a != a ? a : b; }",
    "clip": (
        "static double f_clip(double x, double low, double high) {\n"
        "    double m = x > low || x != x ? x : low;\n    return m < high || m != m ? m : high;\n}"
    ),
    "heaviside": "static double f_heaviside(double x) { return x < 0 ? 0.0 : x >= 0 ? 1.0 : x; }",
    "sigmoid": (
        "static double f_sigmoid(double x) {\n    double e = exp(-fabs(x));\n"
        "    return x >= 0 ? 1.0 / (1.0 + e) : e / (1.0 + e);\n}"
    ),
    "softplus": (
        "static double f_softplus(double x) { return x != x ? x : (x > 0 ? x : 0.0) + log1p(exp(-fabs(x))); }"
    ),
    "relu": "static double f_relu(double x) { return x > 0 || x != x ? x : 0.0; }",
    "exprel": "static double f_exprel(double x) { return x == 0 ? 1.0 : expm1(x) / x; }",
    "angle": "static double f_angle(double x) { return atan2(0.0, x); }",
    "sum": f"static double f_sum({_ONE}) {{\n    double s = 0;\n"
    "    for (int i = 0; i < n; i++) s += x[i];\n    return s;\n}",
    "mean": f"static double f_mean({_ONE}) {{\n    double s = 0;\n"
    "    for (int i = 0; i < n; i++) s += x[i];\n    return s / n;\n}",
    "var": (
        f"static double f_var({_ONE}) {{\n    double m = 0, s = 0;\n"
        "    for (int i = 0; i < n; i++) m += x[i] / n;\n"
        "    for (int i = 0; i < n; i++) s += (x[i] - m) * (x[i] - m);\n    return s / n;\n}"
    ),
    "std": (
        f"static double f_std({_ONE}) {{\n    double m = 0, s = 0;\n"
        "    for (int i = 0; i < n; i++) m += x[i] / n;\n"
        "    for (int i = 0; i < n; i++) s += (x[i] - m) * (x[i] - m);\n    return sqrt(s / n);\n}"
    ),
    "log_softmax": (
        f"static void f_log_softmax({_ONE}, double *to) {{\n    double top = x[0], s = 0;\n"
        "    for (int i = 1; i < n; i++) top = x[i] > top ? x[i] : top;\n"
        "    for (int i = 0; i < n; i++) s += exp(x[i] - top);\n"
        "    for (int i = 0; i < n; i++) to[i] = x[i] - top - log(s);\n}"
    ),
    "softmax": (
        f"static void f_softmax({_ONE}, double *to) {{\n    double top = x[0], s = 0;\n"
        "    for (int i = 1; i < n; i++) top = x[i] > top ? x[i] : top;\n"
        "    for (int i = 0; i < n; i++) s += exp(x[i] - top);\n"
        "    for (int i = 0; i < n; i++) to[i] = exp(x[i] - top) / s;\n}"
    ),
    "softmin": (
        f"static void f_softmin({_ONE}, double *to) {{\n    double low = x[0], s = 0;\n"
        "    for (int i = 1; i < n; i++) low = x[i] < low ? x[i] : low;\n"
        "    for (int i = 0; i < n; i++) s += exp(low - x[i]);\n"
        "    for (int i = 0; i < n; i++) to[i] = exp(low - x[i]) / s;\n}"
    ),
    "index": (
        f"static double f_index({_ONE}, double at) {{\n    double i = trunc(at);\n    if (i < 0) i += n;\n"
        "    return i >= 0 && i < n ? x[(int)i] : NAN;\n}"
    ),
    "index_2d": (
        "static double f_index_2d(const double *x, int rows, int columns, double row, double column) {\n"
        "    double i = trunc(row), j = trunc(column);\n    if (i < 0) i += rows;\n    if (j < 0) j += columns;\n"
        "    return i >= 0 && i < rows && j >= 0 && j < columns ? x[(long)i * columns + (long)j] : NAN;\n}"
    ),
    "matmul": (
        "static void f_matmul(const double *a, const double *x, int rows, int columns, double *to) {\n"
        "    for (int i = 0; i < rows; i++) {\n        double s = 0;\n"
        "        for (int j = 0; j < columns; j++) s += a[(long)i * columns + j] * x[j];\n        to[i] = s;\n    }\n}"
    ),
    "interp": (
        "static double f_interp(double x, const double *at, const double *y, int n) {\n"
        "    if (x != x || x <= at[0]) return x != x ? x : y[0];\n    if (x >= at[n - 1]) return y[n - 1];\n"
        "    int i = 0;\n    while (i < n - 2 && at[i + 1] <= x) i++;\n"
        "    return y[i] + (y[i + 1] - y[i]) / (at[i + 1] - at[i]) * (x - at[i]);\n}"
    ),
}
#: Functions of C by their names in equations.
PLAIN = {
    **{name: name for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "exp", "log", "log10", "log2", "log1p")},
    **{name: name for name in ("expm1", "floor", "ceil", "sqrt", "erf")},
    **{f"arc{name}": f"a{name}" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    "arctan2": "atan2",
    "abs": "fabs",
    "round": "rint",
    "power": "pow",
}
