"""Quality indices on trial: do they tell good recordings from poor ones, and nothing else, and does it matter?"""
