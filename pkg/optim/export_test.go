package optim

// Composite makes o use tensor operations also on the CPU, as it does on other devices.
func (o *AdamW) Composite() { o.composite = true }
