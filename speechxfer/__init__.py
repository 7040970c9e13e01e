"""speechxfer"""
