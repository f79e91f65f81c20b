"""The worker process of one rank; never imports the kernel side."""
