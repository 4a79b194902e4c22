"""Keeps a pycuda that is installed from what runs on the stand-in of libcudart: it would use the real GPU."""

raise ImportError("The double of TensorRT runs on a stand-in of libcudart, which pycuda does not know.")
