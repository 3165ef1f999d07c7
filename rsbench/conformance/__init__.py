"""What every loss, backbone, index and data set must do, as checks that the command `doctor` and the tests share."""
