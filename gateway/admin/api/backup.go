package api

import (
	"fmt"
	"net/http"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/store/backup"
)

// NewBackup asks for a backup of the store.
type NewBackup struct {
	Recipients []string `json:"recipients" minItems:"1" maxItems:"16" doc:"public keys of age, all of the form age1… or all age1pq1…. Whoever has the identity of one of them can open the backup"`
	Kind       string   `json:"kind" enum:"full,policy,events" doc:"policy leaves out events and counters; events has nothing else, and no site key"`
	From       uint64   `json:"from,omitempty" doc:"for events: the first of them. The events that were saved together with it come too"`
}

// Backup says what a backup is. It comes in the header Latchkey-Backup, as JSON.
type Backup struct {
	Site        access.ID `json:"site" doc:"id of the site"`
	Fingerprint string    `json:"fingerprint" doc:"of the site's signature. Keep it where the backups are not, and compare it before you restore one"`
	Epoch       uint64    `json:"epoch"`
	Made        time.Time `json:"made"`
	Program     string    `json:"program,omitempty" doc:"version of the program that made it"`
	Kind        string    `json:"kind"`
	Head        Head      `json:"head" doc:"the newest event"`
	From        uint64    `json:"from,omitempty" doc:"the first event in it, for events"`
	Records     uint64    `json:"records" doc:"number of records of the policy"`
}

// ViewBackup returns the header of a backup as an answer shows it.
func ViewBackup(h backup.Header) Backup {
	return Backup{Site: h.Site, Fingerprint: h.Fingerprint(), Epoch: h.Epoch, Made: h.Made.UTC(),
		Program: h.Program, Kind: string(h.Kind), From: h.From, Records: h.PolicyCount,
		Head: Head{Seq: h.Head, Hash: h.HeadHash, Text: fmt.Sprintf("%d:%v", h.Head, h.HeadHash)}}
}

// BackupHeader carries a [Backup].
const BackupHeader = "Latchkey-Backup"

// MakeBackup answers with the file. It has the site key, so only those may ask who could read that
// key themselves: a stolen session or token must not turn into a copy of the house.
var MakeBackup = declare[Body[NewBackup], string](onMachine, http.MethodPost, "/v1/backup", "make-backup",
	"Make a backup of everything, encrypted for those whose public keys are given")
