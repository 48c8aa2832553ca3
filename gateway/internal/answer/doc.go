// Package answer is what the gateway says: the names of the codes, the texts in Chinese and English, and refusals as
// errors.
package answer
