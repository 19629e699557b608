"""What libraries log of a disk that is full or cannot be written, beside the error that tells of it."""

import logging

SYSTEM_ERROR = "os_error_code="  # quoted in TensorStore's errors (see `jaxseg.arrays`)


def tell_disk_errors_once() -> None:
    """Leave it to the command's own error, which hundreds of lines would bury.

    Orbax logs what its threads raise, with the traceback of each, and raises it again. Python prints a traceback for
    each line that a log, such as Parsl's, could not take.
    """
    from absl import logging as orbax_log  # which has a class of its own: it must be made before it is asked for

    orbax_log.get_absl_logger().addFilter(_tells_more)
    logging.raiseExceptions = False


def _tells_more(record: logging.LogRecord) -> bool:
    return SYSTEM_ERROR not in record.getMessage()
