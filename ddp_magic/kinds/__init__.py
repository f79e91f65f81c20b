"""What --trainer has to know of some libraries' trainers; runs in the kernel.

They are known by the names along their types' MRO: nothing is imported to know them.
"""
