"""Copy raw archives to S3 without opening them."""
