"""The operator's commands, by subject. `solrouter.cli` adds them to `flask`.

Each can be run again, says what it did, and fails with a code and a sentence. Answers that a script
wants stand alone on standard output; everything else goes to standard error.
"""
