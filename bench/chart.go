package main

import (
	"image/color"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// palette tells the library from the floors, which are grey, and its peers.
var palette = map[string]color.Color{
	"floor-sql":         color.RGBA{0xb8, 0xbe, 0xc7, 0xff},
	"floor-gorm":        color.RGBA{0x84, 0x8d, 0x99, 0xff},
	"gormoauth":         color.RGBA{0x1f, 0x6f, 0xeb, 0xff},
	"fosite":            color.RGBA{0xe3, 0x7f, 0x2c, 0xff},
	"fosite-bcrypt4":    color.RGBA{0xf2, 0xb8, 0x7c, 0xff},
	"go-oauth2":         color.RGBA{0x8a, 0x3f, 0xa0, 0xff},
	"go-oauth2-indexed": color.RGBA{0xc4, 0x94, 0xd1, 0xff},
}

// chart draws, for one engine and number of connections, how many times the
// floor each contestant reaches.
func chart(dir, engine string, connections int, all []comparison, p plan) (string, error) {
	drawing := plot.New()
	drawing.Title.Text = engine
	drawing.Title.Padding = vg.Points(8)
	drawing.Y.Label.Text = "throughput, times the GORM floor"
	drawing.Y.Min = 0
	drawing.Legend.Top = true
	drawing.Legend.Left = false
	drawing.Legend.ThumbnailWidth = vg.Points(12)
	drawing.Add(plotter.NewGrid())
	const width = 13 // points, of a bar
	names := p.contestants()
	for i, c := range names {
		var values plotter.Values
		for _, operation := range operations {
			for _, cell := range all {
				if cell.Engine == engine && cell.Connections == connections && cell.Operation == operation {
					values = append(values, median(cell.Cells[c.name].Ratios))
				}
			}
		}
		bars, err := plotter.NewBarChart(values, vg.Points(width))
		if err != nil {
			return "", err
		}
		bars.LineStyle.Width = 0
		bars.Color = palette[c.name]
		bars.Offset = vg.Points(width * (float64(i) - float64(len(names)-1)/2))
		drawing.Add(bars)
		drawing.Legend.Add(c.name, bars)
	}
	drawing.NominalX(operations...)
	drawing.Y.Max *= 1.35 // room for the legend
	name := strings.NewReplacer(" ", "-", ",", "").Replace(strings.ToLower(engine)) + ".svg"
	return name, drawing.Save(22*vg.Centimeter, 11*vg.Centimeter, filepath.Join(dir, name))
}
