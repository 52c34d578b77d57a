"""Runs the functions of an agents' package as a WAPT agent would: what the agent
gives them is written here after its documentation.

    agent.py SETUP_PY INI FUNCTION

prints what the function returned as its last line; an error ends with 1.
"""
import sys
import types
import urllib.error
import urllib.request
from configparser import RawConfigParser

setup_py, ini, function = sys.argv[1:]


class PackageError(Exception):
    pass


def parser(path):
    p = RawConfigParser()
    p.read(path)
    return p


def inifile_hasoption(inifilename, section, key):
    return parser(inifilename).has_option(section, key)


def inifile_readstring(inifilename, section, key, default=None):
    p = parser(inifilename)
    return p.get(section, key) if p.has_option(section, key) else default


def inifile_writestring(inifilename, section, key, value):
    p = parser(inifilename)
    if not p.has_section(section):
        p.add_section(section)
    p.set(section, key, value)
    with open(inifilename, 'w') as f:
        p.write(f)


def error(reason):
    raise PackageError(reason)


helpers = types.ModuleType('setuphelpers')
for f in (inifile_hasoption, inifile_readstring, inifile_writestring, error):
    setattr(helpers, f.__name__, f)
sys.modules['setuphelpers'] = helpers


class Answer(object):
    def __init__(self, code, headers):
        self.status_code, self.headers = code, headers


class Session(object):
    trust_env = True

    def head(self, url, timeout, verify, proxies, allow_redirects, headers):
        assert self.trust_env is False and timeout > 0 and verify in (True, False) or isinstance(verify, str)
        try:
            r = urllib.request.urlopen(urllib.request.Request(url, method='HEAD', headers=headers), timeout=timeout)
            return Answer(r.status, r.headers)
        except urllib.error.HTTPError as e:
            return Answer(e.code, e.headers)


requests = types.ModuleType('requests')
requests.Session = Session
sys.modules['requests'] = requests


class Agent(object):
    config_filename = ini
    reloads = 0

    def reload_config_if_updated(self):
        self.reloads += 1


package = {'WAPT': Agent(), '__name__': 'setup'}
with open(setup_py) as f:
    exec(compile(f.read(), setup_py, 'exec'), package)
try:
    result = package[function]()
except PackageError as e:
    print('error: %s' % e)
    sys.exit(1)
print(result)
