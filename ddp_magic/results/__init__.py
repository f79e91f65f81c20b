"""What rank 0 brings back: written by its worker (`save`), read by the kernel (`load`).

Files of the run's own directory: `index.json` says what is there, `named.pkl` holds what -o names
and the cell's value, `bound.pkl` what else the cell bound. Written aside and renamed, so that a
worker that is killed in the middle leaves nothing that looks whole.
"""
