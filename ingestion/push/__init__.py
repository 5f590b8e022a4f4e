"""Events pushed over HTTP: received, published to the source's broker, then answered."""
