"""The sizes of the network of Section 4.1 (Figs. 2 and 3); model.py builds it in Keras, pure.py in JAX."""

N_FEATURES = 9
FILTERS = (32, 64, 128)  # doubled from block to block
KERNELS = (2, 1, 1)
DENSE = (256, 512)
POOL = 2
