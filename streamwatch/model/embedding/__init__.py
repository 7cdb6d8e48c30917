"""What a patch looks like to a pretrained network."""
