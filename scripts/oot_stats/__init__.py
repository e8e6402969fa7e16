"""What the privileged workflows run: collect and publish test stats, copy raw archives, report deferred results."""
