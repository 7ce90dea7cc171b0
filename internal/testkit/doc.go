// Package testkit has what tests share: comparing slices with a report of the worst element, holding the
// gradients of a function against its finite differences, and stopping work in the middle.
package testkit
