// Package text bounds and checks the texts that people write and see: names, and the words of an
// error. It knows neither records nor pages.
package text
