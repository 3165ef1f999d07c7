"""What quality indices are worth: do they find poor recordings, measure anything else, and does it matter?"""
