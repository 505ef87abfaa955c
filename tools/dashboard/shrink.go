package main

import (
	"bytes"
	"image"
	rgb "image/color"
	"image/png"
	"maps"
	"os"
	"slices"
	"strconv"
)

// shrink rewrites a PNG with 256 colors, which makes it a third of the size: those that mean something, with what a browser makes of them at the
// edges of letters, and those that it has most of.
func shrink(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	full, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, paletted(full)); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644) //nolint:gosec // it is for everybody
}

func paletted(full image.Image) *image.Paletted {
	area := full.Bounds()
	count := map[rgb.RGBA]int{}
	at := func(x, y int) rgb.RGBA { return rgb.RGBAModel.Convert(full.At(x, y)).(rgb.RGBA) }
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			count[at(x, y)]++
		}
	}
	var found []rgb.RGBA
	for c := range count {
		found = append(found, c)
	}
	slices.SortFunc(found, func(a, b rgb.RGBA) int { return count[b] - count[a] })
	most := meaning()
	for _, c := range found[:min(len(found), 256-len(most))] {
		most = append(most, c)
	}
	small, nearest := image.NewPaletted(area, most), map[rgb.RGBA]uint8{}
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			c := at(x, y)
			i, known := nearest[c]
			if !known {
				i = uint8(most.Index(c)) //nolint:gosec // a palette has 256 colors at most
				nearest[c] = i
			}
			small.SetColorIndex(x, y, i)
		}
	}
	return small
}

// meaning has the colors of thresholds and words, each full and mixed with white.
func meaning() rgb.Palette {
	var all rgb.Palette
	for _, hex := range slices.Sorted(maps.Values(colors())) {
		r, g, b := channel(hex[1:3]), channel(hex[3:5]), channel(hex[5:7])
		for _, part := range []float64{1, 0.75, 0.5, 0.25} {
			mix := func(c float64) uint8 { return uint8(255 - part*(255-c)) }
			all = append(all, rgb.RGBA{mix(r), mix(g), mix(b), 255})
		}
	}
	return all
}

func channel(hex string) float64 {
	v, _ := strconv.ParseUint(hex, 16, 8) // colors has no others
	return float64(v)
}
