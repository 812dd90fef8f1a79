"""Print a setting for make: the environment comes before .env, as it does for Compose.

python -m deploy.local.setting NAME DEFAULT
"""

import os
import sys

from dotenv import dotenv_values

if __name__ == "__main__":
    name, default = sys.argv[1:]
    print(os.environ.get(name) or dotenv_values(".env").get(name) or default)
