"""The network: backbones, their blocks, the head and pretrained weights."""
