"""The native backend: the C core of ``kernels_arm/``, called through ctypes."""
