package daemon

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"tattled/policy"
	"tattled/receiver/syslog"
	"tattled/setting/document"
)

// filled gives every pointer below v a value and every list an entry.
func filled(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		filled(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		filled(v.Index(0))
	}
	for _, f := range document.Fields(v) {
		filled(f.Value)
	}
}

// filledConfig returns a configuration that has everything once, with the sections of all parts.
func filledConfig() *Config {
	cfg := shippedParts().config()
	filled(reflect.ValueOf(cfg).Elem())
	return cfg
}

// configTypes are the type of a configuration and those of the sections of all parts.
func configTypes() []reflect.Type {
	all := []reflect.Type{reflect.TypeFor[Config]()}
	cfg := filledConfig()
	for _, g := range []*group{&cfg.Sources, &cfg.Report, &cfg.Alerts} {
		for _, name := range g.names {
			all = append(all, reflect.TypeOf(g.Section(name)).Elem())
		}
	}
	return all
}

// settingName returns the name of the setting that a field is, "" if it is none, and whether its own fields are settings in its place.
func settingName(f reflect.StructField) (name string, inline bool) {
	name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if name == "-" || !f.IsExported() {
		return "", false
	}
	return name, options == "inline"
}

// checkMethods returns the types below t that have a Check of settings.
func checkMethods(t reflect.Type, into map[reflect.Type]bool) map[reflect.Type]bool {
	if reflect.PointerTo(t).Implements(reflect.TypeFor[checker]()) && t.Kind() != reflect.Pointer {
		into[t] = true
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		checkMethods(t.Elem(), into)
	case reflect.Struct:
		for i := range t.NumField() {
			if name, _ := settingName(t.Field(i)); name != "" {
				checkMethods(t.Field(i).Type, into)
			}
		}
	}
	return into
}

// Every section and list that knows what its values may be is asked when a configuration is read.
func TestEveryCheckIsReached(t *testing.T) {
	cfg := filledConfig()
	reached := map[reflect.Type]bool{}
	visit(reflect.ValueOf(cfg).Elem(), "", func(_ string, c checker) { reached[reflect.TypeOf(c).Elem()] = true })
	want := map[reflect.Type]bool{}
	for _, t := range configTypes() {
		checkMethods(t, want)
	}
	if len(want) < 11 || !want[reflect.TypeFor[syslog.Listeners]()] || !want[reflect.TypeFor[policy.List]()] {
		t.Fatalf("only %d types with a Check were found", len(want))
	}
	for one := range want {
		if !reached[one] {
			t.Errorf("nobody calls the Check of %s", one)
		}
	}
	defined, called := map[string]bool{}, map[string]bool{}
	readChecks(t, defined, called)
	for name := range defined {
		known := called[name]
		for one := range want {
			known = known || name == one.String()+".Check"
		}
		if !known {
			t.Errorf("%s is called by nobody but tests", name)
		}
	}
	if !defined["tail.Files.Check"] || !defined["policy.List.Check"] {
		t.Errorf("the sources were not understood: %v", defined)
	}
}

// readChecks reads the sources: which exported Checks of settings are defined, as "package.Name" or "package.Type.Name",
// and which functions of other packages are called.
func readChecks(t *testing.T, defined, called map[string]bool) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if name := n.Name.Name; strings.HasPrefix(name, "Check") && takesFaultFunc(n.Type) {
					if n.Recv != nil {
						name = strings.TrimPrefix(typeName(n.Recv.List[0].Type), "*") + "." + name
					}
					defined[file.Name.Name+"."+name] = true
				}
			case *ast.CallExpr:
				called[typeName(n.Fun)] = true
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// takesFaultFunc reports whether the last parameter of a function is a setting.FaultFunc.
func takesFaultFunc(f *ast.FuncType) bool {
	n := len(f.Params.List)
	return n > 0 && typeName(f.Params.List[n-1].Type) == "setting.FaultFunc"
}

func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.StarExpr:
		return "*" + typeName(e.X)
	case *ast.SelectorExpr:
		return typeName(e.X) + "." + e.Sel.Name
	default:
		return ""
	}
}
