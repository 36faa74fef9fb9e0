"""The typed settings tree, and the architectures that can be configured."""
