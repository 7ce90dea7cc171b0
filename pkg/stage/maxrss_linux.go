package stage

const maxrssUnit = 1024 // ru_maxrss counts KiB on Linux
