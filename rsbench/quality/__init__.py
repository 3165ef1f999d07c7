"""What an index of recording quality is, the shelf of them, how the learned ones are made, and what they are worth."""
