"""notebooks/accelerate.ipynb with accelerate's own notebook_launcher, as its documentation says.

https://huggingface.co/docs/accelerate/basic_tutorials/notebook
"""

from __future__ import annotations

from launched import main

if __name__ == "__main__":
    main("from accelerate import notebook_launcher\nnotebook_launcher(training, num_processes=2)")
