"""notebooks/huggingface.ipynb with accelerate's notebook_launcher, which transformers points to.

https://huggingface.co/docs/transformers/accelerate
"""

from __future__ import annotations

from launched import main

if __name__ == "__main__":
    main("from accelerate import notebook_launcher\nnotebook_launcher(training, num_processes=2)")
