"""What is normal at each place: Gaussians of embeddings and of speeds."""
