// Package fsx holds the file habits that every writer here shares: a file is
// replaced whole or not at all, a folder appears complete or not at all, a run
// folder has one owner at a time.
//
// The order of an atomic write is: temporary file in the same folder, write,
// fsync the file, rename over the target, fsync the folder. A crash or a full
// disk before the rename leaves the old file as it was; the rename itself is
// atomic on every POSIX file system.
package fsx
