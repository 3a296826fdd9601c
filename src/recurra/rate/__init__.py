"""Rate networks that obey Dale's principle, and the tasks they are trained on."""
