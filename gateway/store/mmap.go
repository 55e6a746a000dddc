package store

func hookMmap() error { return nil }
