package durable

import "golang.org/x/sys/windows"

// Names returns how many names a file has.
func (OS) Names(name string) (int, error) {
	f, err := openRegular(name, 0)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &info); err != nil {
		return 0, err
	}
	return int(info.NumberOfLinks), nil
}
