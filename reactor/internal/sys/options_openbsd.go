package sys

// OpenBSD has only the system-wide keep-alive times of sysctl(2).
var keepIdle, notSentLowat place
