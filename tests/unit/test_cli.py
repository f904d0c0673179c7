"""The script `rig` itself."""

import subprocess
import sys

INTERRUPTED = """
import signal, sys

class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == "schemas":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
from deploy.cli import main
main()
"""


def test_ctrl_c_while_the_commands_are_imported_is_quiet():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
