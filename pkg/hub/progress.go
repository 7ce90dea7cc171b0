package hub

// Progress is told how a download goes. Its methods are called from several goroutines, but one file's calls come one
// after another, and only for files that are not here yet.
type Progress interface {
	// Begin: a file's turn has come; f.Have bytes of it are here.
	Begin(f File)
	// Advance: have bytes are here now. They may be fewer than before, when a transfer has to start over.
	Advance(f File, have int64)
	// Note: something worth a line happened, such as a pause before a retry. f is empty for the listing.
	Note(f File, text string)
	// End: the file is done, as f.State says; Missing or Partial after an error.
	End(f File)
}

// silent is the Progress of those who want none.
type silent struct{}

func (silent) Begin(File)          {}
func (silent) Advance(File, int64) {}
func (silent) Note(File, string)   {}
func (silent) End(File)            {}
