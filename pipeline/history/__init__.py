"""What runs and releases were: list them, go back to one, and trace what it was made from."""
