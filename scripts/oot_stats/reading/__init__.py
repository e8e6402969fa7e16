"""Read archives and JUnit reports that strangers wrote, in processes without rights."""
