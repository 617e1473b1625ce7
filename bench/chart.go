package main

import (
	"fmt"
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
	oidcProviderName:    color.RGBA{0x2d, 0x9d, 0x78, 0xff},
}

// chart draws, for one engine and number of connections, how many times the
// floor each contestant reaches, at the operations that all have.
func chart(dir, engine string, connections int, all []comparison, p plan) (string, error) {
	drawing := plot.New()
	drawing.Title.Text = fmt.Sprintf("%s, %d connections", engine, connections)
	drawing.Title.Padding = vg.Points(8)
	drawing.Y.Label.Text = "throughput, times the GORM floor"
	drawing.Y.Min = 0
	drawing.X.Min, drawing.X.Max = -0.55, 5              // the legend is to the right of the bars
	drawing.Legend.Top, drawing.Legend.Left = true, true // its text is not measured, as a browser may have other fonts
	drawing.Legend.XOffs, drawing.Legend.YOffs = vg.Centimeter*16.8, -vg.Centimeter/2
	drawing.Legend.ThumbnailWidth = vg.Points(12)
	drawing.Legend.Padding = vg.Points(4)
	const width = 12 // points, of a bar
	names := measured(all, engine, p)
	for i, c := range names {
		var values plotter.Values
		for _, operation := range basic {
			for _, cell := range all {
				if cell.Engine == engine && cell.Connections == connections && cell.Operation == operation {
					values = append(values, median(cell.Cells[c].Ratios))
				}
			}
		}
		bars, err := plotter.NewBarChart(values, vg.Points(width))
		if err != nil {
			return "", err
		}
		bars.LineStyle.Width = 0
		bars.Color = palette[c]
		bars.Offset = vg.Points(width * (float64(i) - float64(len(names)-1)/2))
		drawing.Add(bars)
		drawing.Legend.Add(c, bars)
	}
	line, err := plotter.NewLine(plotter.XYs{{X: -0.5, Y: 1}, {X: 3.5, Y: 1}}) // the floor
	if err != nil {
		return "", err
	}
	line.Color, line.Width = palette[floor], vg.Points(0.5)
	drawing.Add(line)
	drawing.NominalX(basic...)
	drawing.Y.Max *= 1.05
	name := fileName(engine) + ".svg"
	return name, drawing.Save(24*vg.Centimeter, 11*vg.Centimeter, filepath.Join(dir, name))
}

// fileName makes a name for files of an engine's.
func fileName(engine string) string {
	return strings.NewReplacer(" ", "-", ",", "").Replace(strings.ToLower(engine))
}
