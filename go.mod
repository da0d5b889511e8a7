module github.com/troupe-dev/troupe

go 1.26
