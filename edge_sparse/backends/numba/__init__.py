"""The desktop backend: vector kernels compiled at load time."""
