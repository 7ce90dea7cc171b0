// Package testkit has what tests of numbers share: comparing slices with a report of the worst element, and holding the
// gradients of a function against its finite differences.
package testkit
