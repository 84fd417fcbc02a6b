"""What every test may rely on, however the run was started."""

import signal

# A run in the background of a shell or under nohup inherits ignored signals, and so would every compiler that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
    signal.signal(_number, signal.SIG_DFL)
