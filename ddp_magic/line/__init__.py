"""How the %%ddp line is read, for `options` and `overrides`; runs in the kernel."""
