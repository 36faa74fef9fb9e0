"""Choose a backbone by measurement: its accuracy on the user's images, its latency and its size on this machine."""
