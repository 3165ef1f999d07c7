"""What every loss, backbone and quality index must do, as checks that the command `doctor` and the tests share."""
