"""What a finished run is good for afterwards: hearing other recordings, and leaving for other programs."""
