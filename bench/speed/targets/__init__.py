"""What is measured: how each program is set up, started and asked. One file a program."""
