"""What a draft would change, found out on archived events before anything is live."""
